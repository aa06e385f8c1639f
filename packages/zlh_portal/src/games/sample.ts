/** A template and a game server to begin from, for tests alone. */
import type { GameDetail, GameVariable, TemplateOffer } from "../api/types";

export const VARIABLES: GameVariable[] = [
  { kind: "text", name: "motd", title: "Message of the day", description: "What players see.", default: "A server", maxLength: 20, pattern: null },
  { kind: "integer", name: "max_players", title: "Players at most", description: "", default: 10, minimum: 1, maximum: 100 },
  { kind: "choice", name: "world", title: "Kind of world", description: "", default: "flat", choices: ["flat", "hills"] },
  { kind: "boolean", name: "online_mode", title: "Check accounts", description: "", default: true },
];

export function sampleOffer(more: Partial<TemplateOffer> = {}): TemplateOffer {
  return {
    name: "squid", title: "Squid", game: "minecraft", summary: "A small server.", eula: null, variables: VARIABLES, memoryMinimumMb: 512, modsTitle: null,
    ports: [{ name: "game", protocol: "tcp", port: 25_565, isPublic: true, service: "_minecraft._tcp" }],
    versions: [
      { version: "2.0.0-rc1", channel: "candidate", default: false, releasedAt: null, gameVersion: null },
      { version: "1.12.0", channel: "stable", default: true, releasedAt: null, gameVersion: "1.21.4" },
    ],
    ...more,
  };
}

export function sampleGame(more: Partial<GameDetail> = {}): GameDetail {
  return {
    vmid: 101, template: "squid", title: "Squid", game: "minecraft", state: "installed", version: "1.12.0", installedVersion: "1.12.0", versions: ["2.0.0", "1.12.0"],
    variables: VARIABLES, values: {}, eula: null, commands: [], mods: null, backups: [], hintCode: null, hint: null,
    ports: [{ name: "game", protocol: "tcp", port: 25_565, publicPort: 25_600, address: "game-101.example.org:25600" }],
    ...more,
  };
}
