"""`python -m tools.bicep infra`: checks the Bicep files with the compiler and against the project's policies.

The compiler is used where `bicep` is on the PATH. Elsewhere a parser stands in for it, which finds syntax
errors, parameters and outputs of modules that do not fit, and unused names, but knows no types. The policies
are checked either way: the compiler has none.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.bicep_file import BicepFile, BicepSyntaxError
from tools.bicep_rules import COMPILER_RULES, POLICIES, Rule


def check(folder: Path, rules: Iterable[Rule] = (*COMPILER_RULES, *POLICIES)) -> list[str]:
    """Everything that the parser finds wrong with the Bicep files below a folder."""
    problems = []
    for path in sorted(folder.rglob("*.bicep")):
        try:
            file = BicepFile.read(path)
            problems += [f"{path}: {problem}" for rule in rules for problem in rule(file)]
        except BicepSyntaxError as error:
            problems.append(str(error))
    return problems


def compile_all(compiler: str, folder: Path) -> list[str]:
    """What the compiler and its linter say about the templates of a folder, warnings included.

    Both commands end with 0 on warnings, so what they print counts as well.
    """
    problems = []
    for template in sorted(folder.glob("*.bicep")):
        for command in (["build", "--stdout"], ["lint"]):
            done = subprocess.run(
                [compiler, *command, str(template)], capture_output=True, text=True, check=False
            )
            # `build --stdout` prints the compiled template there, and what is wrong on stderr.
            said = done.stderr + (done.stdout if command == ["lint"] else "")
            problems += said.split("\n") if said.strip() else []
            if done.returncode != 0 and not said.strip():
                problems.append(f"bicep {command[0]} {template} ended with {done.returncode}")
    return [problem for problem in problems if problem.strip()]


def main() -> int:
    """Check the folder that is named, and say what is wrong."""
    folder = Path(sys.argv[1])
    compiler = shutil.which("bicep")
    if compiler:
        problems = compile_all(compiler, folder) + check(folder, POLICIES)
    else:
        print("bicep is not on the PATH: a parser stands in for the compiler, and types are not checked")
        problems = check(folder)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
