// What each editor says of itself in `initialize`, reduced to what a server may decide by.

const completion = (item) => ({ completionItem: item, contextSupport: true });

export const profiles = {
  'VS Code, languageclient 11': {
    clientInfo: { name: 'Visual Studio Code', version: '1.139.1' },
    capabilities: {
      general: { positionEncodings: ['utf-16'] },
      textDocument: {
        synchronization: { dynamicRegistration: true, didSave: true },
        inlineCompletion: { dynamicRegistration: true },
        completion: completion({
          snippetSupport: true,
          insertReplaceSupport: true,
          insertTextModeSupport: { valueSet: [1, 2] },
        }),
      },
      window: { workDoneProgress: true },
      workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true }, workspaceFolders: true },
    },
  },
  'Neovim 0.12': {
    clientInfo: { name: 'Neovim', version: '0.12.4' },
    capabilities: {
      general: { positionEncodings: ['utf-8', 'utf-16', 'utf-32'] },
      textDocument: {
        synchronization: { dynamicRegistration: false, didSave: true },
        inlineCompletion: { dynamicRegistration: false },
        completion: completion({ snippetSupport: true, insertReplaceSupport: true }),
      },
      workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: false }, workspaceFolders: true },
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
        synchronization: { dynamicRegistration: false, didSave: true },
        completion: { completionItem: { snippetSupport: false }, contextSupport: false },
      },
      workspace: { configuration: true, workspaceFolders: true },
    },
  },
  'JetBrains, LSP4IJ': {
    clientInfo: { name: 'IntelliJ IDEA', version: '2024.2' },
    capabilities: {
      general: { positionEncodings: ['utf-16'] },
      textDocument: {
        inlineCompletion: { dynamicRegistration: true },
        completion: completion({ snippetSupport: true }),
      },
      workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
    },
  },
  'Emacs, eglot 1.9': {
    capabilities: {
      textDocument: {
        synchronization: { dynamicRegistration: false, didSave: true },
        completion: completion({ snippetSupport: false }),
      },
      workspace: { didChangeConfiguration: { dynamicRegistration: false } },
    },
  },
  Helix: {
    clientInfo: { name: 'helix', version: '25.07.1' },
    capabilities: {
      general: { positionEncodings: ['utf-8', 'utf-32', 'utf-16'] },
      textDocument: { completion: { completionItem: { snippetSupport: true, insertReplaceSupport: true } } },
      workspace: { configuration: true, workspaceFolders: true },
    },
  },
};

export const has_inline_completion = (name) => 'inlineCompletion' in profiles[name].capabilities.textDocument;
