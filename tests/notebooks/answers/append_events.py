"""Answers to the exercises of page 01 that its authors did not foresee."""

RIGHT = {
    "the_aggregate_logs": [
        """
        import json
        from collections import defaultdict


        def logs(texts):
            found = defaultdict(list)
            for text in texts:
                event = json.loads(text)
                found[event["id"]].append(event["type"])
            return found
        """,
    ],
    "who_wrote_directly": [
        """
        def broken(events):
            versions = {}
            for event in events:
                versions.setdefault(event.id, []).append(event.version)
            return {id for id, found in versions.items() if found != [*range(1, len(found) + 1)]}
        """,
    ],
}


WRONG = {
    "the_aggregate_logs": [
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {e["id"]: e["type"].split() for e in events}
            """,
            "Ann has two events, and you kept ['deposit']",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {e["id"]: [f["type"] for f in events] for e in events}
            """,
            "you returned {'Ann': ['create', 'create', 'deposit']",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {
                    e["id"]: sorted(f["type"] for f in events if f["id"] == e["id"])
                    for e in events
                }
            """,
            "right for Ann and Bob",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {
                    e["id"]: {f["type"] for f in events if f["id"] == e["id"]} for e in events
                }
            """,
            "'Bob': {'create'}}",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {e["id"]: [f for f in events if f["id"] == e["id"]] for e in events}
            """,
            "you returned {'Ann': [{'id': 'Ann'",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {
                    e["id"]: [f["version"] for f in events if f["id"] == e["id"]]
                    for e in events
                }
            """,
            "you returned {'Ann': [1, 2], 'Bob': [1]}",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {(e["id"], e["version"]): [e["type"]] for e in events}
            """,
            "you returned {('Ann', 1): ['create']",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return [[e["type"] for e in events]]
            """,
            "an object of type list",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {i: [e["type"] for e in events if e["id"] == i] for i in ("Ann", "Bob")}
            """,
            "Is something left over from an earlier call?",
        ),
        (
            """
            import json


            def logs(texts):
                events = [json.loads(text) for text in texts]
                return {
                    e["id"][:3]: [f["type"] for f in events if f["id"] == e["id"]]
                    for e in events
                }
            """,
            "'the': [",
        ),
    ],
    "who_wrote_directly": [
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if v[i][0] != 1]
            """,
            "account 'a' has version 2 twice",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if v[i] != sorted(v[i])]
            """,
            "account 'a' has version 2 twice",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if v[i] != sorted(set(v[i]))]
            """,
            "account 'b' has no version 2",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if v[i][-1] != len(v[i])]
            """,
            "ends at 3, but its versions are not 1, 2, 3",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if max(v[i]) != len(v[i])]
            """,
            "but not in order",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if sum(v[i]) != sum(range(1, len(v[i]) + 1))]
            """,
            "but not in order",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if any(b - a != 1 for a, b in zip(v[i], v[i][1:]))]
            """,
            "the first version is 1",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [i for i in ids if v[i] != list(range(1, len(v[i]) + 1))][:1]
            """,
            "two accounts are broken",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return [e.id for e in events if v[e.id] != list(range(1, len(v[e.id]) + 1))]
            """,
            "you returned ['a', 'a', 'a']",
        ),
        (
            """
            def broken(events):
                ids = {e.id for e in events}
                v = {i: [e.version for e in events if e.id == i] for i in ids}
                return ids
            """,
            "each account counts its own versions",
        ),
    ],
}
