"""An example program, a shopping cart: an aggregate, a view and a subscription."""

from __future__ import annotations

import sys
import uuid

from eventlab import (
    Aggregate,
    Changes,
    CommandRejected,
    Event,
    EventStore,
    Projector,
    Recorded,
    Repository,
    Subscription,
    connect,
)


class EmptyCart(CommandRejected):
    """The cart has nothing to check out."""


class Cart(Aggregate):
    """The items in a cart, until it is checked out."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.items: dict[str, int] = {}
        self.checked_out = False

    def add(self, item: str, quantity: int = 1) -> None:
        """Put an item into the cart."""
        self.record("added", {"item": item, "quantity": quantity})

    def check_out(self) -> None:
        """Order what is in the cart."""
        if not self.items:
            raise EmptyCart(f"cart {self.id!r} is empty")
        if not self.checked_out:
            self.record("checked_out")

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the state by one event."""
        if event.type == "added":
            item = event.data["item"]
            self.items[item] = self.items.get(item, 0) + event.data["quantity"]
        elif event.type == "checked_out":
            self.checked_out = True


class ItemsSold:
    """A document for each item, with the quantity that customers put into carts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event into the changes."""
        if event.type == "added":
            changes[event.data["item"]].inc("quantity", event.data["quantity"])


def main() -> int:
    """Fill and check out a cart, update the view, handle the order, and print the three results."""
    name = f"cart_{uuid.uuid4().hex}"
    with connect() as lab:
        store = EventStore(lab.redis, name)
        carts = Repository(store, Cart)
        try:
            carts.retry("cart1", lambda cart: cart.check_out())
        except CommandRejected as error:
            print(error)
        carts.retry("cart1", lambda cart: cart.add("tea", 2))
        carts.retry("cart1", lambda cart: cart.check_out(), idempotency_key="checkout-1")
        print(carts.load("cart1").items)

        with Projector(store, lab.mongo, ItemsSold(name)) as projector:
            projector.catch_up()
            print(lab.mongo[name].find_one("tea"))

        orders = Subscription(store, "orders", consumer="orders-1", claim_after=60)
        for event in orders.receive(10):
            if event.type == "checked_out":
                print(f"ship {event.id}")
            orders.ack([event])
        orders.close()

        with Projector(store, lab.mongo, ItemsSold(name)) as projector:
            projector.reset()
        store.forget_group("orders")
        store.drop()
        lab.mongo.drop_collection(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
