// What each editor says of itself in `initialize`, reduced to what a server may decide by.

const completion = (item) => ({ completionItem: item, contextSupport: true });
const literals = { codeActionLiteralSupport: { codeActionKind: { valueSet: ['quickfix', 'refactor', 'source'] } } };
const resolves = { ...literals, dataSupport: true, resolveSupport: { properties: ['edit'] } };
const creates = { documentChanges: true, resourceOperations: ['create', 'rename', 'delete'] };

export const profiles = {
  'VS Code, languageclient 11': {
    clientInfo: { name: 'Visual Studio Code', version: '1.139.1' },
    capabilities: {
      general: { positionEncodings: ['utf-16'] },
      textDocument: {
        codeAction: { ...resolves, tagSupport: { valueSet: [1] } },
        synchronization: { dynamicRegistration: true, didSave: true },
        inlineCompletion: { dynamicRegistration: true },
        completion: completion({
          snippetSupport: true,
          insertReplaceSupport: true,
          insertTextModeSupport: { valueSet: [1, 2] },
        }),
      },
      window: { workDoneProgress: true },
      workspace: { workspaceEdit: { ...creates, changeAnnotationSupport: { groupsOnLabel: true } }, configuration: true, didChangeConfiguration: { dynamicRegistration: true }, workspaceFolders: true },
    },
  },
  'Neovim 0.12': {
    clientInfo: { name: 'Neovim', version: '0.12.4' },
    capabilities: {
      general: { positionEncodings: ['utf-8', 'utf-16', 'utf-32'] },
      textDocument: {
        codeAction: resolves,
        synchronization: { dynamicRegistration: false, didSave: true },
        inlineCompletion: { dynamicRegistration: false },
        completion: completion({ snippetSupport: true, insertReplaceSupport: true }),
      },
      workspace: { workspaceEdit: creates, configuration: true, didChangeConfiguration: { dynamicRegistration: false }, workspaceFolders: true },
    },
  },
  'Neovim 0.12, popup': {
    clientInfo: { name: 'Neovim', version: '0.12.4' },
    capabilities: {
      general: { positionEncodings: ['utf-8', 'utf-16', 'utf-32'] },
      textDocument: { completion: completion({ snippetSupport: true }) },
    },
  },
  'Neovim 0.7.2': {
    clientInfo: { name: 'Neovim', version: '0.7.2' },
    capabilities: {
      textDocument: {
        codeAction: resolves,
        synchronization: { dynamicRegistration: false, didSave: true },
        completion: { completionItem: { snippetSupport: false }, contextSupport: false },
      },
      workspace: { workspaceEdit: { resourceOperations: ['rename', 'create', 'delete'] }, configuration: true, workspaceFolders: true },
    },
  },
  'JetBrains, LSP4IJ': {
    clientInfo: { name: 'IntelliJ IDEA', version: '2024.2' },
    capabilities: {
      general: { positionEncodings: ['utf-16'] },
      textDocument: {
        codeAction: { ...resolves, dynamicRegistration: true },
        synchronization: { willSave: true, willSaveWaitUntil: true, didSave: true },
        inlineCompletion: { dynamicRegistration: true },
        completion: {
          completionItem: { snippetSupport: true, insertTextModeSupport: { valueSet: [1, 2] }, resolveSupport: { properties: ['documentation', 'detail', 'additionalTextEdits'] } },
          completionList: { itemDefaults: ['editRange'] },
        },
      },
      window: { workDoneProgress: true, showDocument: { support: true }, showMessage: {} },
      workspace: {
        applyEdit: true,
        configuration: true,
        workspaceFolders: true,
        workspaceEdit: creates,
        executeCommand: { dynamicRegistration: true },
        didChangeConfiguration: { dynamicRegistration: true },
      },
    },
  },
  'Emacs, eglot 1.9': {
    capabilities: {
      textDocument: {
        codeAction: literals,
        synchronization: { dynamicRegistration: false, didSave: true },
        completion: completion({ snippetSupport: false }),
      },
      workspace: { workspaceEdit: { documentChanges: true }, didChangeConfiguration: { dynamicRegistration: false } },
    },
  },
  Helix: {
    clientInfo: { name: 'helix', version: '25.07.1' },
    capabilities: {
      general: { positionEncodings: ['utf-8', 'utf-32', 'utf-16'] },
      textDocument: {
        codeAction: resolves, completion: { completionItem: { snippetSupport: true, insertReplaceSupport: true } } },
      workspace: { workspaceEdit: { ...creates, failureHandling: 'abort' }, configuration: true, workspaceFolders: true },
    },
  },
  Kate: {
    clientInfo: { name: 'Kate', version: '25.08' },
    capabilities: {
      textDocument: { completion: { completionItem: { snippetSupport: true } } },
      window: { workDoneProgress: true },
      workspace: { workspaceEdit: { documentChanges: true } },
    },
  },
};

export const has_inline_completion = (name) => 'inlineCompletion' in profiles[name].capabilities.textDocument;
