import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Api, untilServed } from '../support/callers/api.ts'
import { type Member, startFleet } from '../support/processes/fleet.ts'
import { startLeanFleet } from '../support/processes/leanFleet.ts'
import {
  type Received,
  startWebhookServer,
  WEBHOOK_SECRET,
  type WebhookServer,
} from '../support/processes/webhookServer.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { eventually } from '../support/suite/eventually.ts'

/** Between two tokens, in milliseconds: a receiver is to keep up. */
const PAUSE_MS = 50
/** Longer than the time between two checkpoints, in milliseconds. */
const CHECKPOINT_MS = 2_000
/** Longer than the lease of who is gone without a word, in milliseconds. */
const PATIENCE_MS = 120_000

type Process = Pick<Member, 'service' | 'api'>

interface Fleet {
  /** The first one sends. */
  members: Process[]
  close(): Promise<void>
}

/** How the one that sends ends, and whether it goes on later. */
const ENDS: Record<string, { end: (sender: Process) => Promise<unknown>; goOn?: (sender: Process) => void }> =
  {
    'is stopped': { end: ({ service }) => service.stop() },
    'is killed': { end: ({ service }) => service.kill() },
    'stands still for a while': {
      end: async ({ service }) => service.signal('SIGSTOP'),
      goOn: ({ service }) => service.signal('SIGCONT'),
    },
  }

const eventOf = ({ tokenId, revision }: Received): string => `${tokenId} ${revision}`

/** Makes tokens and changes them until it is stopped. @returns the events that were acknowledged */
function changing(api: Api): { events: Set<string>; stop(): Promise<void> } {
  const events = new Set<string>()
  let isStopped = false
  const worker = async (): Promise<void> => {
    while (!isStopped) {
      const { body } = await untilServed(() => api.create({ name: 'a' }))
      events.add(`${body.id} 0`)
      for (const [i, name] of ['b', 'c'].entries()) {
        expect((await untilServed(() => api.patch(body.id, { name }))).status).to.equal(200)
        events.add(`${body.id} ${i + 1}`)
      }
      await sleep(PAUSE_MS)
    }
  }
  const working = Promise.all([worker(), worker()])
  return {
    events,
    async stop() {
      isStopped = true
      await working
    },
  }
}

function webhooksOf(start: (env: Record<string, string>) => Promise<Fleet>, ends: readonly string[]): void {
  for (const how of ends) {
    it(`lose nothing, and keep their ids and the order of each token, when the process that sends them ${how}`, async function () {
      this.timeout(600_000)
      const receiver: WebhookServer = await startWebhookServer()
      const env = { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, RATE_LIMIT_WRITES_PER_MINUTE: '0' }
      const fleet = await start(env)
      const [sender, other] = fleet.members as [Process, Process]
      const { end, goOn } = ENDS[how] as (typeof ENDS)[string]
      try {
        const work = changing(other.api)
        await eventually(() => expect(receiver.taken.length).to.be.above(20))
        // What is under way when it ends, and what waits behind it, is behind a checkpoint that was stored meanwhile.
        receiver.behave = () => 'hang'
        await eventually(() => expect(receiver.received.length - receiver.taken.length).to.be.above(7))
        await sleep(CHECKPOINT_MS)
        await end(sender)
        receiver.behave = () => 200
        const before = receiver.taken.length
        await eventually(() => expect(receiver.taken.length).to.be.above(before + 40), PATIENCE_MS)
        goOn?.(sender)
        const later = receiver.taken.length
        await eventually(() => expect(receiver.taken.length).to.be.above(later + 20))
        await work.stop()
        await eventually(() => {
          const taken = new Set(receiver.taken.map(eventOf))
          for (const event of work.events) expect(taken.has(event), event).to.equal(true)
        })

        const ids = new Map<string, string>()
        const next = new Map<string, number>()
        for (const one of receiver.taken) {
          expect(ids.get(eventOf(one)) ?? one.id, 'a double').to.equal(one.id)
          if (ids.has(eventOf(one))) continue
          ids.set(eventOf(one), one.id)
          expect(one.revision, 'the next of its token').to.equal(next.get(one.tokenId) ?? 0)
          next.set(one.tokenId, one.revision + 1)
        }
        expect(receiver.problems).to.deep.equal([])
      } finally {
        goOn?.(sender)
        await fleet.close()
        await receiver.close()
      }
    })
  }
}

describeWithMongod('webhooks of two processes that share a read model', () => {
  webhooksOf((env) => startFleet(2, { env }), Object.keys(ENDS))
})

describe('webhooks of two processes on EventStoreDB alone', () => {
  const start = async (env: Record<string, string>): Promise<Fleet> => {
    const fleet = await startLeanFleet(1, { env })
    const other = await fleet.add({ env })
    return { members: [...fleet.members, other], close: fleet.close }
  }
  webhooksOf(start, ['is stopped', 'is killed'])
})
