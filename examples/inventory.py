"""A shop's inventory: what is in stock, what it is worth and what has to be ordered."""

from dataclasses import dataclass


@dataclass
class Item:
    name: str
    price: float
    quantity: int

    def value(self):
        return self.price * self.quantity


class Inventory:
    def __init__(self):
        self.items = {}

    def add(self, name, price, quantity):
        if name in self.items:
            self.items[name].quantity += quantity
        else:
            self.items[name] = Item(name, price, quantity)

    def remove(self, name, quantity):
        item = self.items.get(name)
        if item is None:
            raise KeyError(name)
        if item.quantity < quantity:
            raise ValueError(f"only {item.quantity} of {name} left")
        item.

    def total_value(self):
        total = 0
        for item in self.items.values():
            

    def to_order(self, threshold):
        return [item.name for item in self.items.values() if item.quantity < threshold]
