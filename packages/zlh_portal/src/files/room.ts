/** How much room a disk has, in words; pure. */
import type { DiskRoom } from "../api/types";
import type { Tone } from "../layout/tone";
import { formatBytes } from "../layout/words";

export interface RoomWords {
  percent: number;
  tone: Tone;
  words: string;
  /** What to do about it, where it is short. */
  warning: string | null;
}

/** Return how full a disk is: by its bytes, or by its files where those are nearer to their end. */
export function describeRoom({ totalBytes, freeBytes, totalFiles, freeFiles }: DiskRoom): RoomWords {
  const byBytes = shareUsed(totalBytes, freeBytes);
  const byFiles = totalFiles === null || freeFiles === null ? 0 : shareUsed(totalFiles, freeFiles);
  const used = Math.max(byBytes, byFiles);
  const tone = used >= 0.97 ? "bad" : used >= 0.9 ? "warn" : "quiet";
  const words = `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`;
  return { percent: Math.round(used * 100), tone, words, warning: tone === "quiet" ? null : warn(tone === "bad", byFiles > byBytes, freeFiles ?? 0, freeBytes) };
}

function shareUsed(total: number, free: number): number {
  return total > 0 ? Math.min(1, Math.max(0, 1 - free / total)) : 0;
}

function warn(isFull: boolean, isOfFiles: boolean, freeFiles: number, freeBytes: number): string {
  const left = isOfFiles ? `room for ${freeFiles.toLocaleString("en")} more files` : formatBytes(freeBytes);
  return `${isFull ? "The disk is nearly full" : "The disk is getting full"}: ${left} left. Delete something, or have the container made larger under Settings.`;
}
