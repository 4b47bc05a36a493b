"""Answers to the exercises of page 05 that its authors did not foresee."""

RIGHT = {
    "what_needs_no_letter": [
        """
        def receive_large(letters):
            large = []
            for event in letters.receive(block=1):
                if event.data["amount"] < 1_000:
                    letters.ack([event])
                else:
                    large.append(event)
            return large
        """,
    ],
    "share_the_accounts_out": [
        """
        import hashlib


        def group_of(event, count):
            return int(hashlib.sha256(event.id.encode()).hexdigest(), 16) % count
        """,
        """
        def group_of(event, count):
            number = 0
            for letter in event.id:
                number = number * 31 + ord(letter)
            return number % count
        """,
    ],
    "one_letter_each": [
        """
        def send(box, event):
            try:
                box.put(event.position, event.id)
            except FileExistsError:
                return
        """,
    ],
}

WRONG = {
    "what_needs_no_letter": [
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([event for event in events if event.data["amount"] <= 1_000])
                return events
            """,
            "is not below 1,000",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack(events)
                return events
            """,
            "you acknowledged all four",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                return events
            """,
            "nothing was acknowledged",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([event for event in events if event.data["amount"] >= 1_000])
                return events
            """,
            "you acknowledged the large withdrawals",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([event for event in events if event.data["amount"] < 1_000])
                return (event for event in events if event.data["amount"] >= 1_000)
            """,
            "an object of type generator",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([event for event in events if event.data["amount"] < 1_000])
                return [event.data for event in events if event.data["amount"] >= 1_000]
            """,
            "return the events themselves",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([event for event in events if event.data["amount"] < 1_000])
                print(events)
            """,
            "your function returns nothing",
        ),
        (
            """
            def receive_large(letters):
                return []
            """,
            "you received 0 of the four events",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                small = [event for event in events if event.data["amount"] < 1_000]
                letters.ack(small)
                return small
            """,
            "the events that you returned",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                for event in events:
                    if event.data["amount"] < 1_000:
                        letters.fail(event, "too small")
                return [event for event in events if event.data["amount"] >= 1_000]
            """,
            "must be acknowledged",
        ),
        (
            """
            def receive_large(letters):
                events = letters.receive()
                letters.ack([e for e in events if e.version in (2, 3)])
                return [e for e in events if e.version in (1, 4)]
            """,
            "right so far",
        ),
    ],
    "share_the_accounts_out": [
        (
            """
            def group_of(event, count):
                return ord(event.id[0]) % count
            """,
            "must spread",
        ),
        (
            """
            def group_of(event, count):
                return 0
            """,
            "must spread",
        ),
        (
            """
            def group_of(event, count):
                return event.version % count
            """,
            "the same account's next event",
        ),
        (
            """
            def group_of(event, count):
                return int(event.id.split("-")[1]) % count
            """,
            "your code raised",
        ),
        (
            """
            import zlib


            def group_of(event, count):
                return str(zlib.crc32(event.id.encode()) % count)
            """,
            "expected 0, 1, 2 or 3",
        ),
        (
            """
            import itertools

            turn = itertools.count()


            def group_of(event, count):
                return next(turn) % count
            """,
            "the same account's",
        ),
    ],
    "what_the_work_needs": [
        (
            "needs = {'a': 'cannot', 'b': 'key', 'c': 'order', 'd': 'cannot'}",
            "a: an entry that is removed twice",
        ),
        (
            "needs = {'a': 'nothing', 'b': 'key', 'c': 'cannot', 'd': 'cannot'}",
            "c: if 'closed' waits",
        ),
        ("needs = dict.fromkeys('abcd', 'key')", "a: a key would stop the repeat"),
        ("needs = dict.fromkeys('abcd', 'order')", "a: in any order, the next reader"),
        ("needs = {'a': 'nothing', 'b': 'key'}", "a dict with the four keys"),
        ("needs = dict.fromkeys('abcd', 'luck')", "each answer is one of"),
    ],
    "a_loop_that_loses_nothing": [
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    letters.ack([event])
                    send(event)
            """,
            "was acked before its letter was sent",
        ),
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    send(event)
                    send(event)
                    letters.ack([event])
            """,
            "letters were sent for versions [1, 1, 2, 2, 3, 3, 4, 4]",
        ),
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    try:
                        send(event)
                    except ConnectionError as error:
                        letters.fail(event, error)
                        break
                    letters.ack([event])
            """,
            "the post office failed for version 2",
        ),
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    while True:
                        try:
                            send(event)
                        except ConnectionError:
                            continue
                        letters.ack([event])
                        break
            """,
            "did not finish within",
        ),
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    try:
                        send(event)
                    finally:
                        letters.ack([event])
            """,
            "your loop stopped",
        ),
        (
            """
            def work(letters, send):
                for event in letters.receive():
                    try:
                        send(event)
                    except ConnectionError as error:
                        letters.fail(event, error)
                    letters.ack([event])
            """,
            "did not respond for version 2, and you acked the event",
        ),
    ],
    "ack_fail_or_nothing": [
        ("steps = 'ack'", "a dict with the four keys"),
        ("steps = dict.fromkeys('abcd', 'retry')", "each answer is one of"),
        ("steps = dict.fromkeys('abcd', 'fail')", "a: nothing went wrong"),
        (
            "steps = {'a': 'ack', 'b': 'fail', 'c': 'nothing', 'd': 'nothing'}",
            "Only the ack is missing",
        ),
        (
            "steps = {'a': 'ack', 'b': 'fail', 'c': 'ack', 'd': 'ack'}",
            "d: nothing was done for this event",
        ),
    ],
    "one_letter_each": [
        (
            """
            def send(box, event):
                box.put(event.version, "Dear customer")
            """,
            "must be a non-empty string",
        ),
        (
            """
            def send(box, event):
                if event.version > 2:
                    box.put(event.id, "Dear customer")
            """,
            "0 letters are in the box",
        ),
        (
            """
            def send(box, event):
                box.put(event.position, "Dear customer")
                box.put(event.id, "a copy")
            """,
            "2 letters are in the box",
        ),
    ],
}
