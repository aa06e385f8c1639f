/** Where pages find the uploads of this session. */
import { createContext, useContext, useSyncExternalStore } from "react";
import type { State } from "./queue";
import type { Uploads } from "./store";

export const UploadsContext = createContext<Uploads | null>(null);

export function useUploads(): Uploads {
  const uploads = useContext(UploadsContext);
  if (!uploads) throw new Error("There are no uploads outside of a session.");
  return uploads;
}

export function useUploadState(): State {
  const uploads = useUploads();
  return useSyncExternalStore(uploads.subscribe, uploads.getState);
}
