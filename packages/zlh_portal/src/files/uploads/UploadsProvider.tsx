/** The uploads of whoever is signed in: they go on while one looks at other pages, and end with the session. */
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { lazily } from "../../layout/lazily";
import { folderKey, rootsKey, uploadsKey } from "../keys";
import { UploadsContext, useUploads } from "./context";
import { makeUploads } from "./store";

const Tray = lazily("UploadTray", () => import("./UploadTray"));
const REFRESH_MS = 800;

export function UploadsProvider({ userId, children }: { userId: string; children: ReactNode }) {
  const queries = useQueryClient();
  const [uploads] = useState(() => makeUploads(userId));
  useEffect(() => {
    const stale = new Map<string, readonly unknown[]>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    // A thousand small files that land make one look at their folder, not a thousand.
    const refresh = () => {
      timer = undefined;
      for (const queryKey of stale.values()) void queries.invalidateQueries({ queryKey });
      stale.clear();
    };
    const close = uploads.open(({ vmid, root }) => {
      for (const key of [folderKey(vmid, root), rootsKey(vmid), uploadsKey(vmid)]) stale.set(JSON.stringify(key), key);
      timer ??= setTimeout(refresh, REFRESH_MS);
    });
    return () => {
      clearTimeout(timer);
      close();
    };
  }, [queries, uploads]);
  return <UploadsContext value={uploads}>{children}<TrayWhereNeeded /></UploadsContext>;
}

/** It is fetched with the first upload. */
function TrayWhereNeeded() {
  const uploads = useUploads();
  const { items } = useSyncExternalStore(uploads.subscribe, uploads.getState);
  return items.length === 0 ? null : <Suspense><Tray /></Suspense>;
}
