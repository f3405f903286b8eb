// Compiled, never run: what the declarations must accept, and what they must refuse.
import { type Bead, type ErrorKind, type Event, GastownError, ManualClock, type Town, open, version } from 'gastown'

export async function accepts(town: Town, signal: AbortSignal): Promise<Event[]> {
  const seen: Event[] = []
  for await (const event of town.events.watch({ since: 7, signal })) {
    const seq: number = event.seq
    if (seq > 7) seen.push(event)
  }
  const bead: Bead = await town.beads.create({ title: 'x', metadata: { aB: [1, null, 2n] } }, { key: 'k', signal })
  if (bead.status === 'closed') await town.beads.reopen(bead.id)
  await town.beads.link({ bead: bead.id, onBead: 'gt-1', kind: 'waits-for' })
  const health = await town.upkeep.health()
  if (health.engine.state === 'failed') throw new Error(health.engine.reason)
  return seen
}

export async function disposes(): Promise<void> {
  await using town = await open('town', { seed: 7, clock: new ManualClock(0), durability: 'normal', store: 'sqlite' })
  await town.rig('harbour').beads.list()
}

export function reads(error: unknown): ErrorKind | undefined {
  const text: string = version
  return error instanceof GastownError && error.facts['bead'] !== text ? error.kind : undefined
}

export async function refuses(town: Town, bead: Bead, error: GastownError): Promise<void> {
  // @ts-expect-error a sequence number is a number
  town.events.watch({ since: '7' })
  // @ts-expect-error there is no such kind
  if (error.kind === 'sad') return
  // @ts-expect-error errors are made by the library
  new GastownError()
  // @ts-expect-error there is no such status
  if (bead.status === 'painted') return
  // @ts-expect-error answers are read only
  bead.title = 'y'
  // @ts-expect-error a bead has a title
  await town.beads.create({ rig: 'harbour' })
  // @ts-expect-error there is no such field
  await town.beads.create({ title: 'x', colour: 'red' })
  // @ts-expect-error a question takes no key
  await town.beads.get('gt-1', { key: 'k' })
}
