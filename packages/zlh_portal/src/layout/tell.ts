/** Tells how an act went, beside the page and to those who hear it. */
import { notifications } from "@mantine/notifications";
import { asApiError } from "../api/problem";
import { sayBriefly } from "./words";

export function tellDone(message: string): void {
  notifications.show({ color: "teal", message });
}

/** Return what tells that something was refused or failed, in the words of the API. */
export function tellProblem(title: string) {
  return (error: unknown): void => void notifications.show({ color: "red", title, message: sayBriefly(asApiError(error).detail) });
}
