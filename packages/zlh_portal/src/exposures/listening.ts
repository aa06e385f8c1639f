/** What programs listen on, in words; pure. */
import type { ListeningPort } from "../api/types";

export interface Reach {
  /** Whether a published address would get through to the program. */
  isReachable: boolean;
  advice: string | null;
}

export function describeKind(kind: ListeningPort["kind"]): { label: string; meaning: string } {
  switch (kind) {
    case "http":
      return { label: "HTTP", meaning: "It answers browsers." };
    case "https":
      return { label: "HTTPS", meaning: "It answers browsers, with a certificate of its own." };
    case "tcp":
      return { label: "TCP", meaning: "It takes connections and speaks no HTTP: a browser will see nothing of it." };
    case "unknown":
      return { label: "Asking", meaning: "It has not answered yet what it speaks." };
  }
}

export function describeReach({ reach, port }: Pick<ListeningPort, "reach" | "port">): Reach {
  switch (reach) {
    case "network":
      return { isReachable: true, advice: null };
    case "loopback":
      return { isReachable: false, advice: `It listens on loopback only, where no published address gets through. Let it listen on 0.0.0.0:${port}, or on the address in the variable HOST.` };
    case "bridged":
      return { isReachable: true, advice: null };
    case "shared":
      return { isReachable: true, advice: "It listens on every address of a machine that containers share. Let it listen on the address in the variable HOST, so that no other is in its way." };
  }
}

/** Return how a port is published that speaks this. */
export function schemeOf(kind: ListeningPort["kind"]): "http" | "https" {
  return kind === "https" ? "https" : "http";
}
