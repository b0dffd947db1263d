import { randomBytes } from 'node:crypto'
import { projections } from '../../projections/index.ts'
import { createErrorLog } from '../adapters/telemetry/log.ts'
import { createMetrics } from '../adapters/telemetry/metrics.ts'
import { createQueries } from '../application/analytics/queries.ts'
import { createAuthenticator } from '../application/authentication/authenticate.ts'
import { reportMissingKeys } from '../application/authentication/keysInUse.ts'
import { createPepperKeys } from '../application/authentication/pepperKeys.ts'
import { createTokenIndex } from '../application/authentication/tokenIndex.ts'
import { ids } from '../application/eventLog/ids.ts'
import { patienceOfChange } from '../application/eventLog/patience.ts'
import { knowingItsFaults, withoutRepeatedFaults } from '../application/health/faults.ts'
import { knowingItsAppends, knowingItsChanges } from '../application/health/lastWrite.ts'
import { createLogGuard } from '../application/logIdentity/logGuard.ts'
import { createProjector } from '../application/projection/projector.ts'
import { createNotices } from '../application/notices/notices.ts'
import { createPortal } from '../application/portal/portal.ts'
import { createRetention } from '../application/retention/retention.ts'
import { createGates } from '../application/scheduling/gates.ts'
import { createAccountLimit } from '../application/tokens/accountLimit.ts'
import { createActivator } from '../application/tokens/activator.ts'
import { createIdentify } from '../application/tokens/identify.ts'
import { createTakeLeaks } from '../application/tokens/leaks.ts'
import { createManage } from '../application/tokens/manage.ts'
import { createRevokeMany } from '../application/tokens/revocations.ts'
import { createRotations } from '../application/tokens/rotate.ts'
import { createRecorder } from '../application/usage/recorder.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { Pepper } from '../domain/credential.ts'
import type { Configuration } from '../settings/configuration.ts'
import { warnOfMadePeppers } from '../settings/devSecrets.ts'
import type { TokenLedgerOptions } from '../settings/options.ts'
import { version } from '../version.ts'
import { openStores } from '../stores/open.ts'
import { startDeliveries } from './deliveries.ts'
import { createFeeds } from './feeds.ts'
import { expecting } from './expecting.ts'
import { fillFirst } from './firstFill.ts'
import { gaugeParts } from './gauges.ts'
import { startJwtVerifier } from './jwt.ts'
import { startSharing } from './sharing.ts'
import { startUpkeep } from './upkeep.ts'

/** How many tokens are kept in memory for authentication. Of large ones there are fewer. */
const INDEX_CAP = 131_072
/** A read model that gets events all the time is behind by less than this, in seconds. */
const BUSY_LAG_S = 1

export type Parts = Awaited<ReturnType<typeof startParts>>

/** What the host hands in from code, and no setting can express. */
export type Host = Pick<
  TokenLedgerOptions,
  'resolveAccount' | 'resolveUser' | 'onEvent' | 'onProblem' | 'log' | 'clock'
> & {
  /** Is the process the service's alone? */
  isService?: boolean
}

/** The stores, with what is known of their last writes and of their faults. */
const watched = ({ store, readModel }: Awaited<ReturnType<typeof openStores>>, log: Logger) => ({
  store: knowingItsFaults(knowingItsAppends(store), ['append', 'readStream', 'at', 'head'], log),
  readModel: knowingItsFaults(knowingItsChanges(readModel), ['apply', 'ping', 'acquireLease'], log),
})

/**
 * Opens the stores, brings the read model up to date, and starts counting.
 * @throws StoreInUseError, StoreUnavailableError, DamagedError
 */
export async function startParts({ settings, keys }: Configuration, host: Host) {
  const { log: whole = createErrorLog(), clock = Date.now } = host
  warnOfMadePeppers(settings, whole)
  const log = withoutRepeatedFaults(whole)
  const metrics = createMetrics(log, version)
  if (host.isService) metrics.ofProcess()
  const jwt = startJwtVerifier(settings, keys.jwt, metrics)

  const stores = watched(await openStores(settings, log), whole)
  const guard = createLogGuard({ ...stores, projections, log })
  const { store, readModel } = guard
  const started = createStops(async () => {
    await guard.stop()
    await Promise.all([store.close(), readModel.close()])
  })
  try {
    const sharing = await startSharing({
      settings,
      store: stores.store,
      clock,
      metrics,
      onCreated: (made) => index.evict(made),
    })
    started.add(sharing)
    const gates = createGates(metrics)
    const lookedUp = sharing.lookUps(readModel)
    const known = { clock, ids, instance: ids.random(), log, readModel, peppers: keys.peppers }
    const pepperKeys = createPepperKeys({ ...known, store: sharing.commands(store) })
    started.add(pepperKeys)
    await pepperKeys.check()
    await fillFirst(settings, { store, readModel, telemetry: metrics })
    const index = createTokenIndex(lookedUp, keys.peppers, INDEX_CAP, undefined, {
      strangers: gates.lookUps,
      onMatched: pepperKeys.matched,
    })
    const projector = createProjector({
      ...stores,
      projections,
      telemetry: metrics,
      id: ids.random(),
      onChanged: index.evict,
      ...(sharing.follower && { follower: sharing.follower }),
    })
    started.add(projector)
    await projector.start()
    started.add(reportMissingKeys(known))
    guard.start()
    const feeds = createFeeds(readModel, sharing, projector, log)
    started.add(feeds.watch)
    started.add(index)
    index.start((err) => log.warn({ err }, 'changes by other processes are not heard of for now'))
    const recorder = createRecorder({
      store: sharing.usage(store),
      patience: patienceOfChange(settings.eventStoreTimeoutMs),
      clock,
      ids,
      flushMs: settings.usageFlushMs,
      telemetry: metrics,
      strict: settings.auditMode === 'strict',
    })
    started.add(recorder)
    recorder.start()
    const retention = createRetention({
      store: sharing.work(store),
      clock,
      ids,
      telemetry: metrics,
      days: settings.usageRetentionDays,
      leads: () => projector.leads() && projector.lag() <= BUSY_LAG_S,
      ...sharing.worker,
    })
    started.add(retention)
    retention.start()
    const upkeep = startUpkeep({
      store,
      readModel,
      projections,
      telemetry: metrics,
      apply: projector.apply,
      retentionDays: settings.usageRetentionDays,
    })
    started.add(upkeep)
    gaugeParts(metrics, { log, ...stores, index, projector, recorder, retention })

    const commands = { store: sharing.commands(store), clock, ids, telemetry: metrics }
    const leading = { leads: projector.leads, ...sharing.worker }
    const deliveries = await startDeliveries(settings, host, { ...commands, ...leading, feeds, log }, metrics)
    started.add(deliveries)
    const { project } = feeds
    const notices = createNotices({ ...commands, ...leading, readModel, project, instance: ids.random() })
    started.add(notices)
    notices.start()

    return {
      settings,
      keys,
      resolveAccount: host.resolveAccount,
      resolveUser: host.resolveUser,
      clock,
      jwt,
      metrics,
      stores,
      guard,
      sharing,
      gates,
      index,
      pepperKeys,
      projector,
      recorder,
      feeds,
      stop: started.stop,
    }
  } catch (error) {
    await started.stop().catch(() => {})
    throw error
  }
}

/** What was started is stopped in reverse order, since it uses what was started before it. */
function createStops(last: () => Promise<void>) {
  const started: { stop(): Promise<void> }[] = [{ stop: last }]
  return {
    add: (part: { stop(): Promise<void> }): void => void started.push(part),
    async stop(): Promise<void> {
      for (const part of started.splice(0).toReversed()) await part.stop()
    },
  }
}

export type UseCases = ReturnType<typeof useCasesOf>

/** The use cases that HTTP and the library's own functions call. */
export function useCasesOf({ settings, keys, clock, metrics, guard, index, projector, ...parts }: Parts) {
  const store = parts.sharing.commands(guard.store)
  const { questions } = parts.sharing
  const readModel = parts.sharing.decisions(guard.readModel)
  const { tokenPrefix: prefix } = settings
  const authenticator = createAuthenticator({
    index,
    jwt: parts.jwt,
    resolveAccount: parts.resolveAccount,
    clock,
    prefix,
    operatorScope: settings.operatorScope,
    telemetry: metrics,
  })
  const executing = {
    store,
    readModel,
    project: parts.feeds.project,
    clock,
    ids,
    telemetry: metrics,
  }
  const writing = {
    ...executing,
    patience: patienceOfChange(settings.eventStoreTimeoutMs),
    randomBytes,
    prefix,
    pepper: keys.peppers[0] as Pepper,
    beforeHash: parts.pepperKeys.beforeHash,
  }
  const manage = createManage({
    ...writing,
    close: projector.close,
    limit: createAccountLimit(readModel, clock, settings.maxTokensPerAccount),
    maxLifetimeDays: settings.tokenMaxLifetimeDays,
    catalogue: settings.scopes && new Set(settings.scopes.map(({ name }) => name)),
    reservedScope: settings.operatorScope,
  })
  const activator = createActivator({ ...executing, instance: ids.random() })
  const rotations = createRotations({ ...writing, settled: activator.settled })
  const portal = createPortal({ ...writing, peppers: keys.peppers })
  const identify = createIdentify({ readModel: guard.readModel, peppers: keys.peppers, clock })
  const asked = questions({
    identify,
    revokeMany: createRevokeMany({ readModel: guard.readModel, identify, manage, clock }),
  })
  const action = settings.leakAction ?? 'notify'
  return {
    authenticator,
    ...expecting(index, manage, rotations),
    activator,
    portal,
    queries: questions(createQueries(guard.readModel, clock)),
    ...asked,
    takeLeaks: createTakeLeaks({ ...writing, identify: asked.identify, manage, action }),
  }
}
