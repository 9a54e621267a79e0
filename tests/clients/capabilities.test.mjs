// Every editor is offered what it can use, and nothing that breaks it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from './loopd.mjs';
import { has_inline_completion, profiles } from './profiles.mjs';

for (const editor of Object.keys(profiles)) {
  test(`${editor}: capabilities`, async () => {
    const client = await Client.start(editor, { model_dir: '/no/model/here' });
    const { capabilities, serverInfo } = client.initialized;
    assert.equal(serverInfo.name, 'loopd');

    // Ghost text or popup, never both: both would compute everything twice.
    assert.equal(Boolean(capabilities.inlineCompletionProvider), has_inline_completion(editor));
    assert.equal(Boolean(capabilities.completionProvider), !has_inline_completion(editor));

    // vscode-languageclient throws on any encoding that it has not offered.
    const offered = profiles[editor].capabilities.general?.positionEncodings ?? ['utf-16'];
    assert.ok(offered.includes(client.encoding), `${client.encoding} was not offered`);

    const sync = capabilities.textDocumentSync;
    assert.equal(typeof sync === 'number' ? sync : sync.change, 2, 'incremental');
    assert.ok(typeof sync === 'number' || sync.openClose);

    // The model cannot be found, which is a status and no reason to end.
    const status = await client.settled();
    assert.equal(status.state, 'error');
    assert.match(status.message, /\/no\/model\/here/);
    await client.open('file:///a.py', 'python', 'x = ');
    const items = await client.ask('file:///a.py', 4);
    assert.ok(items === null || items.length === 0);

    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.miscounted(), []);
    const dynamic = profiles[editor].capabilities.workspace?.didChangeConfiguration?.dynamicRegistration;
    if (!dynamic) assert.deepEqual(client.registrations, [], 'registers dynamically although the editor cannot');
  });
}
