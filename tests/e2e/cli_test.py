"""The program starts and says what it is."""
from harness import expect, main, run, test


@test
def version_exits_zero():
    expect(run("--version").returncode, 0, "exit status")


if __name__ == "__main__":
    main()
