// All suites, one after the other: two windows at once would spoil the times on a machine with two cores.
// $LOOPD_VSCODE names some of them, such as "typing actions".
const suites = ['extension', 'typing', 'actions', 'sharing', 'leak'];
const wanted = process.env.LOOPD_VSCODE?.split(' ') ?? suites;
for (const suite of suites.filter((name) => wanted.includes(name))) await import(`./${suite}.mjs`);
