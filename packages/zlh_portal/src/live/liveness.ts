/** Whether the live stream flows, for whoever would poll or say so. */
import { createContext, useContext } from "react";

export type Liveness = "connecting" | "live" | "polling";

export const LiveContext = createContext<Liveness>("connecting");

export function useLiveness(): Liveness {
  return useContext(LiveContext);
}

export function useIsLive(): boolean {
  return useLiveness() === "live";
}
