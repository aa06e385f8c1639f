/** Tell whether the focus is nowhere: what had it is gone, or cannot be used any more. */
export function isFocusFree(): boolean {
  return document.activeElement === null || document.activeElement === document.body;
}
