// Folders that came with the files of a module go when undo removes the files; an edit cannot say that itself.
import { posix } from 'node:path';
import * as vscode from 'vscode';

interface Made {
  files: Set<string>; // URIs
  folders: vscode.Uri[]; // the innermost first
}

const exists = (uri: vscode.Uri) => Promise.resolve(vscode.workspace.fs.stat(uri)).then(() => true, () => false);

export class MadeFolders implements vscode.Disposable {
  private readonly made: Made[] = [];
  private readonly listener = vscode.workspace.onDidDeleteFiles(({ files }) => this.clear(new Set(files.map(String))));

  dispose() {
    this.listener.dispose();
  }

  // Those that are not there and will be once the files are.
  static async missing(files: vscode.Uri[]): Promise<vscode.Uri[]> {
    const folders = new Map<string, vscode.Uri>();
    for (const file of files) {
      let path = posix.dirname(file.path);
      for (; path !== '/' && !folders.has(path); path = posix.dirname(path)) {
        const folder = file.with({ path });
        if (await exists(folder)) break;
        folders.set(path, folder);
      }
    }
    return [...folders.values()].sort((a, b) => b.path.length - a.path.length);
  }

  remember(files: vscode.Uri[], folders: vscode.Uri[]) {
    if (folders.length > 0) this.made.push({ files: new Set(files.map(String)), folders });
  }

  // Undo deletes all files of a module at once. What holds anything else by now stays, and a redo makes the folders again.
  private async clear(deleted: Set<string>) {
    for (const { files, folders } of this.made) {
      if (![...files].every((file) => deleted.has(file))) continue;
      for (const folder of folders) await Promise.resolve(vscode.workspace.fs.delete(folder, { recursive: false })).catch(() => {});
    }
  }
}
