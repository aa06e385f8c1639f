import { expect, it } from "vitest";
import type { Exposure } from "../api/types";
import { sampleStatus as sampleProcess } from "../processes/sample";
import { listLosses } from "./losses";
import { sampleStatus } from "./sample";

const port = (number: number): Exposure => ({ id: String(number), port: number, visibility: "public", kind: "http", url: "", expiresAt: null, publishedBy: null, default: false, addon: null });

it("names what there is, and nothing else", () =>
  expect(listLosses(sampleStatus(), [])).toEqual(["All files in it", "Its address dev-101.localhost, its history, and its place on the host (2 cores, 2 GiB of memory, 10 GiB of disk)"]));

it("counts what is too much to be named", () => {
  const processes = Array.from({ length: 8 }, (_, at) => sampleProcess("running", { name: `p${at}` }));
  const told = listLosses(sampleStatus({ processes }), [{ ...port(6000), addon: "code-server" }, port(4000)]);
  expect(told).toContain("Its 8 processes: p0, p1, p2, p3, p4, p5 and 2 more");
  expect(told).toContain("Its published port: 4000");
});
