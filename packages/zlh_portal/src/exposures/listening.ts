/** What programs listen on, in words; pure. */
import type { ListeningPort } from "../api/types";

export interface Reach {
  /** What a badge beside the program says; null where nothing need be said. */
  badge: string | null;
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

/** `isPublished` is what has been asked for; it takes a moment until the port is led there. */
export function describeReach({ reach }: Pick<ListeningPort, "reach">, isPublished: boolean): Reach {
  switch (reach) {
    case "network":
      return { badge: null, advice: null };
    case "loopback":
      return isPublished
        ? { badge: "Loopback only", advice: "It listens on loopback or IPv6 only. Its public address is being led there." }
        : { badge: "Loopback only", advice: "It listens on loopback or IPv6 only. Once you publish it, its public address is led there." };
    case "bridged":
      return { badge: "Led to loopback", advice: "It listens on loopback or IPv6 only. Its public address is led there, so the program sees all visitors come from this container itself." };
    case "shared":
      return { badge: null, advice: "It listens on every address of a machine that containers share. Let it listen on the address in the variable HOST, so that no other is in its way." };
  }
}

/** Return how a port is published that speaks this. */
export function schemeOf(kind: ListeningPort["kind"]): "http" | "https" {
  return kind === "https" ? "https" : "http";
}
