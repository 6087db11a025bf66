"""Options of these tests."""


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write the golden files of the contract compiler anew")
