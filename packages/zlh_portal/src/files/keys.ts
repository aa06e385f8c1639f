/** Under which names the cache keeps what is known of files. */

export const FILES = "files";
export const rootsKey = (vmid: number) => [FILES, vmid, "roots"] as const;
/** All folders of a root where no path is named. */
export const folderKey = (vmid: number, root: string, path?: string) => (path === undefined ? ([FILES, vmid, "folder", root] as const) : ([FILES, vmid, "folder", root, path] as const));
export const operationsKey = (vmid: number) => [FILES, vmid, "operations"] as const;
export const uploadsKey = (vmid: number) => [FILES, vmid, "uploads"] as const;
