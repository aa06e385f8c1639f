/** One key per distinct request, so that a second click, or a try after a lost answer, creates nothing twice. */

export class KeyRing {
  private body = "";
  private key = "";

  /** Return the key of this body: the one of the last try where nothing was changed since, else a new one. */
  keyFor(body: object): string {
    const text = JSON.stringify(body);
    if (this.key === "" || text !== this.body) {
      this.body = text;
      // Not randomUUID, which pages without TLS do not have.
      this.key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    return this.key;
  }
}
