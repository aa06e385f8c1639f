/** Saves everything that is kept of a console's output as a file. */
import { Button } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { type Download, PAGE_BYTES, percentOf, START_DOWNLOAD, takePage } from "./history";
import type { ReadHistory } from "./source";
import { tellProblem } from "../layout/tell";

export function DownloadButton({ readHistory, fileName }: { readHistory: ReadHistory; fileName: string }) {
  const [percent, setPercent] = useState<number | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const act = async () => {
    const controller = new AbortController();
    running.current = controller;
    setPercent(0);
    try {
      const { parts } = await fetchAll(readHistory, controller.signal, setPercent);
      if (!controller.signal.aborted) save(parts, fileName);
    } catch (error) {
      if (!controller.signal.aborted) tellProblem("The output was not saved")(error);
    }
    setPercent(null);
  };
  return (
    <Button size="compact-xs" variant="subtle" color="gray" title="Saves all output that is kept" onClick={() => (percent === null ? void act() : running.current?.abort())}>
      {percent === null ? "Download" : `Cancel (${percent} %)`}
    </Button>
  );
}

async function fetchAll(readHistory: ReadHistory, signal: AbortSignal, onProgress: (percent: number) => void): Promise<Download> {
  let download = START_DOWNLOAD;
  while (!download.isDone) {
    download = takePage(download, await readHistory({ from: download.next, limit: PAGE_BYTES }, signal));
    onProgress(percentOf(download));
  }
  return download;
}

function save(parts: Uint8Array<ArrayBuffer>[], fileName: string): void {
  const url = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  // The browser has to have begun with it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
