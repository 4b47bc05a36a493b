"""Answers to the exercises of page 12 that its authors did not foresee."""

RIGHT = {
    "append_through_an_outage": [
        """
        import uuid
        from redis.exceptions import ClusterDownError, ConnectionError as Lost, TimeoutError


        def append(store, id, events, expected, tries):
            options = {"expected": expected, "token": str(uuid.uuid4())}
            for _ in range(tries - 1):
                try:
                    return store.append(id, events, **options)
                except (Lost, TimeoutError, ClusterDownError):
                    pass
            return store.append(id, events, **options)
        """,
    ],
    "who_is_woken": [
        """
        def alarms(history):
            status, found = history[-1], []
            if status["parked"]:
                found.append("parked")
            if status["held"]:
                found.append("held")
            if status["stopped"]:
                found.append("stopped")
            elif len(history) > 2 and min(each["lag_seconds"] for each in history[-3:]) > 60:
                found.append("lag")
            return found
        """,
    ],
}

WRONG = {
    "append_through_an_outage": [
        # a cluster that is down is no outage
        (
            """
            import uuid
            import redis


            def append(store, id, events, expected, tries):
                token = uuid.uuid4().hex
                for left in reversed(range(tries)):
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except (redis.ConnectionError, redis.TimeoutError):
                        if not left:
                            raise
            """,
            "the cluster was down (ClusterDownError)",
        ),
        # one try too many
        (
            """
            import uuid
            import redis


            def append(store, id, events, expected, tries):
                token = uuid.uuid4().hex
                for _ in range(tries):
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except redis.ConnectionError:
                        pass
                return store.append(id, events, expected=expected, token=token)
            """,
            "tries=3, you called append 4 times",
        ),
        # a token for each try
        (
            """
            import uuid
            import redis


            def append(store, id, events, expected, tries):
                for left in reversed(range(tries)):
                    token = uuid.uuid4().hex
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except redis.ConnectionError:
                        if not left:
                            raise
            """,
            "Give both attempts the same token",
        ),
        # every error is repeated
        (
            """
            import uuid


            def append(store, id, events, expected, tries):
                token = uuid.uuid4().hex
                for left in reversed(range(tries)):
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except Exception:
                        if not left:
                            raise
            """,
            "let all other errors propagate",
        ),
        # the conflict is hidden
        (
            """
            import uuid
            import redis
            from eventlab import VersionConflict


            def append(store, id, events, expected, tries):
                token = uuid.uuid4().hex
                for left in reversed(range(tries)):
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except VersionConflict:
                        return []
                    except redis.ConnectionError:
                        if not left:
                            raise
            """,
            "another writer was faster",
        ),
        # the number of tries is fixed
        (
            """
            import uuid
            import redis


            def append(store, id, events, expected, tries):
                token = uuid.uuid4().hex
                for left in (3, 2, 1, 0):
                    try:
                        return store.append(id, events, expected=expected, token=token)
                    except redis.ConnectionError:
                        if not left:
                            raise
            """,
            "tries=3, you called append 4 times",
        ),
    ],
    "who_is_woken": [
        # a list that is too short is all of its statuses
        (
            """
            def alarms(history):
                now = history[-1]
                found = {name for name in ("stopped", "parked", "held") if now[name]}
                if "stopped" not in found and all(s["lag_seconds"] > 60 for s in history[-3:]):
                    found.add("lag")
                return found
            """,
            "wait for the third",
        ),
        # at least 60
        (
            """
            def alarms(history):
                now = history[-1]
                found = {name for name in ("stopped", "parked", "held") if now[name]}
                late = [s["lag_seconds"] >= 60 for s in history[-3:]]
                if len(late) == 3 and all(late) and not now["stopped"]:
                    found.add("lag")
                return found
            """,
            "60 seconds is not more than 60",
        ),
        # the lag must grow
        (
            """
            def alarms(history):
                now = history[-1]
                found = {name for name in ("stopped", "parked", "held") if now[name]}
                late = [s["lag_seconds"] for s in history[-3:]]
                if len(late) == 3 and late[0] > 60 and late[0] < late[1] < late[2]:
                    found.add("lag")
                return found
            """,
            "the view is still late",
        ),
        # a stopped minute in the past hides the lag
        (
            """
            def alarms(history):
                now, last = history[-1], history[-3:]
                found = {name for name in ("stopped", "parked", "held") if now[name]}
                if len(last) == 3 and all(s["lag_seconds"] > 60 and not s["stopped"] for s in last):
                    found.add("lag")
                return found
            """,
            "the view runs again, and has lagged for three minutes",
        ),
        # the first status, not the newest
        (
            """
            def alarms(history):
                first = history[0]
                return {name for name in ("stopped", "parked", "held") if first[name]}
            """,
            "the view is stuck",
        ),
    ],
}
