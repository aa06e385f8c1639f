/** Files and folders that somebody has dropped or chosen, with where they stood beside each other. */

export interface Chosen {
  /** From what was dropped: "notes.txt", "photos/2024/a.jpg". */
  path: string;
  file: File;
}

export interface Dropped {
  files: Chosen[];
  /** Folders with nothing in them, which no file would bring along. */
  emptyFolders: string[];
}

/** Return what an `<input type="file">` holds; one for folders tells where in the folder a file stood. */
export function readInput(list: FileList | null): Dropped {
  return { files: [...(list ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })), emptyFolders: [] };
}

/**
 * Return all that was dropped, folders with all that is in them. What the browser hands over is gone after the event, so
 * all of it is taken before the first wait.
 */
export async function readDrop(transfer: DataTransfer): Promise<Dropped> {
  const taken = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const dropped: Dropped = { files: [], emptyFolders: [] };
  for (const { entry, file } of taken) {
    if (entry) await walk(entry, "", dropped);
    else if (file) dropped.files.push({ path: file.name, file });
  }
  return dropped;
}

async function walk(entry: FileSystemEntry, folder: string, into: Dropped): Promise<void> {
  const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
  if (isFile(entry)) {
    into.files.push({ path, file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)) });
  } else if (isFolder(entry)) {
    const inside = await readAll(entry.createReader());
    if (inside.length === 0) into.emptyFolders.push(path);
    for (const one of inside) await walk(one, path, into);
  }
}

/** A reader hands out a hundred at a time, until it hands out none. */
async function readAll(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}
