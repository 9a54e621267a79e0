// Both suites, one after the other: two windows at once would spoil the times on a machine with two cores.
import './extension.mjs';
import './typing.mjs';
