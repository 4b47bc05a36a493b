"""An example test of the shopping cart, without servers."""

from __future__ import annotations

from cart import Cart, EmptyCart, ItemsSold

from eventlab import Event
from eventlab.testing import given, view

TEA = Event("added", {"item": "tea", "quantity": 2})


def test_cart_checks_out_what_is_in_it() -> None:
    """A cart with items can be ordered, once."""
    outcome = given(Cart, TEA).when(Cart.check_out).then(Event("checked_out"))
    assert outcome.aggregate.checked_out
    given(Cart, TEA, Event("checked_out")).when(Cart.check_out).then()


def test_empty_cart_is_rejected() -> None:
    """The error says which cart is empty."""
    error: EmptyCart = given(Cart).when(Cart.check_out).rejected(EmptyCart)
    assert str(error) == "cart 'example' is empty"


def test_view_counts_the_items_of_all_carts() -> None:
    """The view counts the items of all carts."""
    carts = view(ItemsSold("sold")).given(TEA, id="cart1").given(TEA, id="cart2")
    carts.shows("tea", {"quantity": 4})


if __name__ == "__main__":
    test_cart_checks_out_what_is_in_it()
    test_empty_cart_is_rejected()
    test_view_counts_the_items_of_all_carts()
    given(Cart).when(Cart.add, "tea", quantity=2).then(TEA)
    print("passed")
