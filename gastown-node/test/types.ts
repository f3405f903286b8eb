// Compiled, never run: what the declarations must accept, and what they must refuse.
import { type ErrorKind, type Event, GastownError, type Town, version } from 'gastown'

export async function accepts(town: Town, signal: AbortSignal): Promise<Event[]> {
  const seen: Event[] = []
  for await (const event of town.events.watch({ since: 7, signal })) {
    const seq: number = event.seq
    seen.push({ seq })
  }
  return seen
}

export function reads(error: unknown): ErrorKind | undefined {
  const text: string = version
  return error instanceof GastownError && error.facts['bead'] !== text ? error.kind : undefined
}

export function refuses(town: Town, error: GastownError): void {
  // @ts-expect-error a sequence number is a number
  town.events.watch({ since: '7' })
  // @ts-expect-error there is no such kind
  if (error.kind === 'sad') return
  // @ts-expect-error errors are made by the library
  new GastownError()
}
