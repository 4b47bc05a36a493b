"""Answers to the exercises of page 09 that its authors did not foresee."""

RIGHT = {
    "the_interest": [
        """
        import itertools
        import secrets


        def add_interest(get, post):
            run = secrets.token_hex(8)
            for decision in itertools.count():
                version, funds = get()
                status = 503
                while status == 503:
                    try:
                        status = post(int(funds / 10), version, f"{run}-{decision}")
                    except ConnectionError:
                        pass
                if status == 200:
                    break
        """,
    ],
    "a_handler": [
        """
        import eventlab
        from eventlab import accounts


        STATUS = {
            "UnknownAccount": 404,
            "VersionChanged": 412,
            "VersionConflict": 409,
            "IdempotencyKeyReused": 422,
        }


        def withdraw(service, id, amount, if_match, key):
            options = {"idempotency_key": key}
            if if_match is not None:
                options["versions"] = [if_match]
            try:
                event = service.withdraw(id, amount, **options)
            except eventlab.EventLabError as error:
                return STATUS.get(type(error).__name__, 400), str(error)
            return 200, {"version": event.version}
        """,
        """
        from redis.exceptions import RedisError

        from eventlab import CommandRejected, IdempotencyKeyReused, VersionConflict
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            try:
                event = service.withdraw(
                    id, amount, versions={if_match} if if_match else None, idempotency_key=key
                )
                return 200, {"version": event.version}
            except (VersionConflict, IdempotencyKeyReused) as error:
                return (409 if isinstance(error, VersionConflict) else 422), {"error": str(error)}
            except CommandRejected as error:
                special = {UnknownAccount: 404, VersionChanged: 412}
                return special.get(type(error), 400), {"error": str(error)}
            except RedisError:
                return 503, {"error": "try again"}
        """,
    ],
}

WRONG = {
    "the_interest": [
        (
            """
            def add_interest(get, post):
                version, funds = get()
                post(funds // 10, version, "k")
            """,
            "A new call is a new request",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                version, funds = get()
                post(7, version, uuid.uuid4().hex)
            """,
            "nothing went wrong. Interest paid: [7]",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                key = uuid.uuid4().hex
                while True:
                    version, funds = get()
                    try:
                        if post(funds // 10, version, key) in (200, 412):
                            return
                    except ConnectionError:
                        pass
            """,
            "Interest paid: none",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                version, funds = get()
                post(funds // 10, None, uuid.uuid4().hex)
            """,
            "pass the version that get() returned",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                while True:
                    version, funds = get()
                    key = uuid.uuid4().hex
                    for _ in range(2):
                        try:
                            status = post(funds // 10, version, key)
                            break
                        except ConnectionError:
                            status = 412
                    if status == 200:
                        return
            """,
            "the connection broke three times",
        ),
    ],
    "a_handler": [
        (
            """
            def withdraw(service, id, amount, if_match, key):
                return 200, {"version": service.withdraw(id, amount).version}
            """,
            "If-Match says 3: you returned 200",
        ),
        (
            """
            from eventlab import CommandRejected


            def withdraw(service, id, amount, if_match, key):
                try:
                    if if_match and service.fetch(id).version != if_match:
                        return 412, "changed"
                    event = service.withdraw(id, amount, idempotency_key=key)
                except CommandRejected as error:
                    status = 404 if isinstance(error, LookupError) else 400
                    return status, str(error)
                return 200, {"version": event.version}
            """,
            "the key k again, with another amount",
        ),
        (
            """
            def withdraw(service, id, amount, if_match, key):
                return service.withdraw(id, amount, idempotency_key=key)
            """,
            "return a status and a body",
        ),
        (
            """
            def withdraw(service, id, amount, if_match, key):
                versions = {if_match} if if_match else None
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
                return 200, {"version": event.version}
            """,
            "If-Match says 3",
        ),
        (
            """
            from eventlab import CommandRejected, IdempotencyKeyReused
            from eventlab.accounts import UnknownAccount, VersionChanged


            def withdraw(service, id, amount, if_match, key):
                versions = None if if_match is None else {if_match}
                try:
                    service.withdraw(id, amount, versions=versions, idempotency_key=key)
                except UnknownAccount:
                    return 404, ""
                except VersionChanged:
                    return 412, ""
                except CommandRejected:
                    return 400, ""
                except IdempotencyKeyReused:
                    return 422, ""
                return 200, {"version": 3}
            """,
            "expected the version of the event",
        ),
    ],
}
