"""A 4-ary heap of 64-bit keys in an array: four children share a cache line, so it is flat and near."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit
def push(heap: Any, size: Any, key: Any) -> Any:
    """Add `key`. The new size."""
    place = size
    while place > 0:
        parent = (place - 1) >> 2
        if heap[parent] <= key:
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = key
    return size + 1


@njit
def replace_top(heap: Any, size: Any, key: Any) -> None:
    """Take the least key out and `key` in: one way down the heap instead of two."""
    place = 0
    while True:
        first = 4 * place + 1
        if first >= size:
            break
        least = first
        least_key = heap[first]
        for child in range(first + 1, min(first + 4, size)):
            if heap[child] < least_key:
                least = child
                least_key = heap[child]
        if key <= least_key:
            break
        heap[place] = least_key
        place = least
    heap[place] = key


@njit
def pop(heap: Any, size: Any) -> Any:
    """Take the least key out. The new size."""
    size -= 1
    if size:
        replace_top(heap, size, heap[size])
    return size
