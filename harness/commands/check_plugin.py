"""`harness check-plugin`: does code of one's own keep what the harness relies on?"""

from __future__ import annotations

import click

from harness.streams import show, show_json

KINDS = ("backbone", "head", "loss", "augmentation", "model")


@click.command("check-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What a recipe uses it as.")
@click.option("--image-size", type=click.IntRange(8, 1024), default=112, show_default=True, help="Side of the images in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str, kind: str, image_size: int, as_json: bool) -> int:
    """Try the code NAME, as package.module:name, file.py:name or entry:NAME, against each promise of its kind.

    The code is imported and run. Exit code 1 where a promise is broken; docs/plugins.md has an example of each kind.

    \b
    Examples:
      harness check-plugin ./mynet.py:build --kind backbone
      harness check-plugin mypackage.losses:margin --kind loss --json
    """
    import json

    from harness.commands.shared.next_steps import data_at_hand
    from harness.errors import EXIT_DONE, EXIT_FINDINGS
    from harness.findings import printable
    from harness.recipes.starting import ANY_BACKBONE
    from harness.studies.plugin_checks import check_plugin

    found = check_plugin(name, kind, image_size)
    broken = [one for one in found if one.fault is not None]
    if as_json:
        show_json(
            json.dumps({"kind": kind, "promises": [{"promise": one.promise, "fault": one.fault} for one in found]}, indent=1)
            + "\n"
        )
    else:
        for one in found:
            show(f"ok     {one.promise}" if one.fault is None else f"BROKEN {one.promise}: {printable(one.fault)}")
        recipe = "temporal-tcn --features RUN" if kind == "model" else f"{ANY_BACKBONE} --from-scratch"
        training = f"harness train --recipe {recipe} --set {kind}={name}{data_at_hand()}"
        show(f"next: {training}" if not broken else f"{len(broken)} of {len(found)} promises are broken")
    return EXIT_FINDINGS if broken else EXIT_DONE
