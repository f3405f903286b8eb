/** What a caller should do about an error. */
export type ErrorKind =
  | 'not_found'
  | 'invalid'
  | 'conflict'
  | 'forbidden'
  | 'unavailable'
  | 'exhausted'
  | 'corrupt'
  | 'unsupported'
  | 'internal'

/** Any failure of the library. */
export class GastownError extends Error {
  private constructor()
  /** What the caller should do. */
  readonly kind: ErrorKind
  /** The stable code, for programs. */
  readonly code: string
  /** The sentence with every cause behind it, for logs. */
  readonly chain: string
  /** The facts, by name. */
  readonly facts: Readonly<Record<string, string>>
}

/** What a caller's own data may be: JSON; an integer beyond 2^53 is a BigInt. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json }

/** How a call is made. */
export interface CallOptions {
  /** Stops waiting; what was begun runs to its end all the same. */
  signal?: AbortSignal
}

/** One entry of the journal. */
export interface Event {
  readonly seq: number
}

/** The journal. */
export interface Events {
  /** Yields every event after `since`, then each new one as it is journaled, until the loop is left. */
  watch(options?: { since?: number } & CallOptions): AsyncGenerator<Event, void, undefined>
}

/** An open town. */
export class Town {
  private constructor()
  readonly events: Events
}

/** The version of this package. */
export const version: string
