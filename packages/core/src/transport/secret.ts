import { createHmac, createPrivateKey, createPublicKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

/** The bytes before the 32 of an X25519 key in PKCS #8 (RFC 8410, section 7). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const KEY_BYTES = 32

/**
 * The secret that the processes of a cluster know and nobody else may: who has it can run code in the cluster.
 *
 * Between hosts it gives the keys of CurveZMQ (rfc.zeromq.org/spec/26): a client must know the listener's public key to be
 * answered at all, so that key is as secret as the other. Within a host each end signs what it says of itself.
 */
export class Secret {
  readonly #text: string
  readonly #signing: Buffer
  #curve: { readonly publicKey: Buffer; readonly secretKey: Buffer } | undefined

  constructor(text: string) {
    this.#text = text
    this.#signing = this.#derive('sign')
  }

  /** The text it is made from, for the processes that this one starts. */
  get text(): string {
    return this.#text
  }

  /** Keeps the text out of what prints an object that holds a secret. */
  [inspect.custom](): string {
    return 'Secret'
  }

  /** The keys of every listener of the cluster. */
  get curve(): { readonly publicKey: Buffer; readonly secretKey: Buffer } {
    if (!this.#curve) {
      const secretKey = this.#derive('curve')
      const key = createPrivateKey({ key: Buffer.concat([PKCS8, secretKey]), format: 'der', type: 'pkcs8' })
      const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES)
      this.#curve = { publicKey, secretKey }
    }
    return this.#curve
  }

  /** An HMAC of a statement. */
  sign(statement: string): string {
    return createHmac('sha256', this.#signing).update(statement).digest('hex')
  }

  /** Whether a signature is that of a statement; takes the same time whatever is wrong. */
  verifies(statement: string, signature: string): boolean {
    const [expected, found] = [Buffer.from(this.sign(statement)), Buffer.from(signature)]
    return expected.length === found.length && timingSafeEqual(expected, found)
  }

  #derive(use: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#text, '', `troupe ${use}`, KEY_BYTES))
  }
}
