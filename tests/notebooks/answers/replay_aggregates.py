"""Answers to the exercises of page 03 that its authors did not foresee."""

RIGHT = {
    "tests_that_notice": [
        # plain asserts, no kit
        """
        from eventlab import CommandRejected


        def tests(kind):
            def refuses(command, *args):
                before = list(account.changes)
                try:
                    command(*args)
                except CommandRejected:
                    assert account.changes == before
                else:
                    raise AssertionError(f"{command.__name__}{args} was not refused")

            account = kind("a")
            refuses(account.deposit, 1)
            refuses(account.withdraw, 1)
            account.create()
            refuses(account.create)
            for amount in (0, -5, 1.5, "5"):
                refuses(account.deposit, amount)
            account.deposit(7)
            refuses(account.withdraw, 8)
            account.withdraw(7)
            assert [e.type for e in account.changes] == ["create", "deposit", "withdraw"]
            assert account.funds == 0
            again = kind("a")
            for event in account.changes[:2]:
                again.apply(event)
            assert again.funds == 7
        """,
    ],
}

WRONG = {
    "tests_that_notice": [
        (
            """
            def tests(kind):
                assert kind.__name__ == "Account"
            """,
            "your tests found none of the broken accounts",
        ),
        (
            """
            from eventlab import Event
            from eventlab.testing import given


            def tests(kind):
                opened = Event("create"), Event("deposit", {"amount": 100})
                given(kind, *opened).shows(balance=100)
            """,
            "Account has no attribute 'balance'",
        ),
        (
            """
            calls = []


            def tests(kind):
                calls.append(kind)
                assert len(calls) == 1
            """,
            "written differently",
        ),
        (
            """
            def tests(kind):
                raise AssertionError
            """,
            "the account from the page is correct",
        ),
        (
            """
            def tests(kind):
                kind("a").overdraw(5)
            """,
            "AttributeError",
        ),
        (
            """
            from eventlab.testing import given


            def tests(kind):
                given(kind).when(kind.create)
                given(kind).when(kind.deposit, 5)
            """,
            "your tests found none of the broken accounts",
        ),
    ],
    "your_own_aggregate": [
        (
            """
            from eventlab import Aggregate


            class Book(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.reader = ""

                def apply(self, event):
                    self.reader = event.data.get("reader")
            """,
            "nobody has a new book",
        ),
        (
            """
            from eventlab import Aggregate


            class Book(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.reader = None

                def apply(self, event):
                    self.reader = event.data.get("reader")

                def lend(self, reader):
                    pass
            """,
            "lend recorded no event",
        ),
        (
            """
            from eventlab import Aggregate


            class Book(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.reader = None

                def apply(self, event):
                    self.reader = event.data.get("reader")

                def lend(self, reader):
                    self.record("lent", {"to": reader, "reader": reader})
            """,
            "you recorded",
        ),
    ],
}
