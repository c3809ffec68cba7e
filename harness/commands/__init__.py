"""One file per verb: parse, call one function, print. Nobody imports a command."""
