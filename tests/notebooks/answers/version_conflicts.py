"""Answers to the exercises of page 02 that its authors did not foresee."""

RIGHT = {
    "open_only_once": [
        """
        from eventlab import Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("opened", {"owner": owner})], expected=0)
                return True
            except VersionConflict:
                return False
        """,
    ],
    "a_general_retry": [
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            events = store.read(id)
            if decided := decide(events):
                try:
                    store.append(id, decided, expected=len(events))
                except VersionConflict:
                    if tries <= 1:
                        raise
                    retry(store, id, decide, tries - 1)
        """,
    ],
}


WRONG = {
    "open_only_once": [
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return bool(store.append(id, opened, expected=ANY))
            """,
            "both events are stored",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return bool(store.append(id, opened, expected=EXISTS))
            """,
            "catch it and return False",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return store.version(id) == 0 and bool(
                    store.append(id, opened, expected=store.version(id))
                )
            """,
            "catch it and return False",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return not store.read(id) and bool(
                    store.append(id, opened, expected=len(store.read(id)))
                )
            """,
            "catch it and return False",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                if not store.read(id):
                    return bool(store.append(id, opened, expected=NEW))
            """,
            "you returned [True, None]",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                store.append(id, opened, expected=ANY)
                return store.read(id)[0].data == opened[0].data
            """,
            "both events are stored",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                try:
                    store.append(id, opened, expected=NEW)
                except Exception:
                    return True
                return True
            """,
            "you returned [True, True]",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return True
            """,
            "nothing is stored",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                try:
                    store.append(id, opened, expected=1)
                except VersionConflict:
                    return False
                return True
            """,
            "nothing is stored",
        ),
        (
            """
            from eventlab import ANY, EXISTS, NEW, Event, VersionConflict


            def open_account(store, id, owner):
                opened = [Event("opened", {"owner": owner})]
                return owner == "Ann" and bool(store.append(id, opened, expected=NEW))
            """,
            "catch it and return False",
        ),
    ],
    "a_general_retry": [
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                return store.append(id, decide(store.read(id)), expected=ANY)
            """,
            "with these numbers of events: [1]",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                for _ in range(tries):
                    events = store.read(id)
                    store.append(id, decide(events), expected=ANY)
            """,
            "the log has ['create', 'note', 'note', 'note']",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                events = store.read(id)
                for _ in range(tries):
                    try:
                        return store.append(id, decide(events), expected=len(events))
                    except VersionConflict:
                        pass
            """,
            "with these numbers of events: [1, 1, 1]",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                for _ in range(tries):
                    events = store.read(id)
                    try:
                        return store.append(id, decide(events), expected=store.version(id))
                    except VersionConflict as error:
                        last = error
                raise RuntimeError("x")
            """,
            "raised RuntimeError: x",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                try:
                    return store.append(id, decide(store.read(id)), expected=store.version(id))
                except VersionConflict:
                    return retry(store, id, decide, tries - 1)
            """,
            "another writer is faster every time",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                for _ in range(tries - 1):
                    events = store.read(id)
                    try:
                        return store.append(id, decide(events), expected=len(events))
                    except VersionConflict as error:
                        last = error
                raise last
            """,
            "try once more before you stop",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                return decide(store.read(id))
            """,
            "the log has ['create']",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                events = store.read(id)
                decided = decide(events)
                for _ in range(tries):
                    try:
                        return decided and store.append(id, decided, expected=len(events))
                    except VersionConflict:
                        events = store.read(id)
                raise
            """,
            "with these numbers of events: [1]",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                return True
            """,
            "the log has ['create']",
        ),
        (
            """
            from eventlab import ANY, VersionConflict


            def retry(store, id, decide, tries):
                decide([])
                return None
            """,
            "the log has ['create']",
        ),
    ],
}
