import { apiOf } from '../callers/api.ts'
import { eventually } from '../suite/eventually.ts'
import type { Member, MemberOptions } from './fleet.ts'
import { type Environment, endServices, ownFolder, startService } from './service.ts'
import { type StandInProcess, startStandInProcess } from '../standIn/process.ts'
import { startProxy, type TcpProxy } from './tcpProxy.ts'

export type LeanMember = Omit<Member, 'toModel'>

/** Service processes on one EventStoreDB, each with a read model of its own. */
export interface LeanFleet {
  members: LeanMember[]
  eventStore: StandInProcess
  /** One more, ready to serve. */
  add(options?: MemberOptions): Promise<LeanMember>
  close(): Promise<void>
}

/** What a process on this event store is set up with, through a proxy or not. */
export const leanSettings = (port: number): Environment => ({
  EVENT_STORE_URL: `esdb://127.0.0.1:${port}?tls=false`,
  READ_MODEL_URL: 'sqlite:read-model.db',
  USAGE_FLUSH_MS: '200',
  MAX_TOKENS_PER_ACCOUNT: '100000',
  LOG_LEVEL: 'info',
})

/** Real processes on a stand-in for EventStoreDB, each behind a proxy that can cut it off. */
export async function startLeanFleet(size: number, options: MemberOptions = {}): Promise<LeanFleet> {
  const eventStore = await startStandInProcess()
  const proxies: TcpProxy[] = []

  async function add({ env = {}, command }: MemberOptions = options): Promise<LeanMember> {
    const toEvents = await startProxy(eventStore.port)
    proxies.push(toEvents)
    const folder = await ownFolder()
    const environment = { ...leanSettings(toEvents.port), ...env }
    // On a busy machine the event store may not answer a start in time, which then fails.
    const service = await eventually(() => startService(environment, folder, command))
    return { service, api: apiOf(service.url), toEvents }
  }

  return {
    members: await Promise.all(Array.from({ length: size }, () => add())),
    eventStore,
    add,
    async close() {
      await endServices()
      await Promise.all(proxies.map((proxy) => proxy.close()))
      await eventStore.kill()
    },
  }
}
