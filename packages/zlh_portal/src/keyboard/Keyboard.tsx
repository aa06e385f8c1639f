/** The keys of the whole portal, and what they open; what is opened is fetched with its first use. */
import { Suspense, useState } from "react";
import { useMatch, useNavigate } from "react-router";
import { useWhyNot } from "../session/session";
import { lazily } from "../layout/lazily";
import { type Act, findBindings } from "./keys";
import { FindButton } from "./FindButton";
import { focusFilter, useKeys } from "./useKeys";

const Palette = lazily("Palette", () => import("./Palette"));
const KeysModal = lazily("KeysModal", () => import("./KeysModal"));

export function Keyboard() {
  const [shown, setShown] = useState<"palette" | "help" | null>(null);
  const navigate = useNavigate();
  const match = useMatch("/containers/:vmid/*");
  const vmid = /^\d{1,9}$/.test(match?.params.vmid ?? "") ? Number(match?.params.vmid) : null;
  const groups = findBindings({ vmid, isOperator: useWhyNot("platform:view") === null });
  const act = (wish: Act) => {
    if (wish === "filter") focusFilter();
    else if (typeof wish === "string") setShown(wish);
    else void navigate(wish.go);
  };
  useKeys(groups, act);
  return (
    <>
      <FindButton onClick={() => setShown("palette")} />
      <Suspense>
        {shown === "palette" && <Palette vmid={vmid} onKeys={() => setShown("help")} onClose={() => setShown((now) => (now === "palette" ? null : now))} />}
        {shown === "help" && <KeysModal groups={groups} onClose={() => setShown(null)} />}
      </Suspense>
    </>
  );
}
