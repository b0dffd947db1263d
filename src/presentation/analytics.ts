import type { BlastRadius, Listed, SeenCaller, SeenRoute } from '../application/analytics/activity.ts'
import type { CallerCheck } from '../application/analytics/callerCheck.ts'
import type { LeakedRow } from '../application/analytics/leakedTokens.ts'
import type { Report, ReportList, ReportRow } from '../application/analytics/report.ts'
import type { ActionDocument } from '../../projections/tokenActivity.ts'
import { statusAt } from '../domain/token.ts'

export const presentReport = (report: Report) => ({
  at: report.at,
  account_id: report.accountId,
  tokens: {
    active: report.tokens.active,
    expired: report.tokens.expired,
    revoked: report.tokens.revoked,
    damaged: report.tokens.damaged,
  },
  top: { from: report.query.from, to: report.query.to, ...presentList(report.top) },
  never_used: presentList(report.neverUsed),
  idle: { days: report.query.idleDays, ...presentList(report.idle) },
  expiring: { days: report.query.expiringDays, ...presentList(report.expiring) },
  without_expiry: presentList(report.withoutExpiry),
  retired_secret_uses: presentList(report.retiredSecretUses),
  leaked: { total: report.leaked.total, data: report.leaked.data.map(presentLeaked) },
})

const presentList = ({ total, data }: ReportList) => ({ total, data: data.map(presentRow) })

const presentRow = ({ token, status, requests }: ReportRow) => ({
  token_id: token.id,
  account_id: token.accountId,
  name: token.name,
  status,
  ...(requests === null ? {} : { requests }),
  created_at: token.createdAt,
  last_accessed: token.lastAccessed ?? null,
  expires_at: token.expiresAt,
})

const presentLeaked = ({ leak: { at, source, url, type, hint }, ...row }: LeakedRow) => ({
  ...presentRow(row),
  leak: { at, source, url, type, hint },
})

export const presentBlastRadius = (found: BlastRadius, now: string) => ({
  token_id: found.token.id,
  account_id: found.token.accountId,
  name: found.token.name,
  status: statusAt(found.token, now),
  since: found.since,
  to: found.to,
  first_at: found.firstAt,
  last_at: found.lastAt,
  total: { requests: found.requests, outcomes: found.outcomes },
  addresses: presentListed(found.addresses, (row) => ({ ip: row.text, ...presentSeen(row) })),
  user_agents: presentListed(found.userAgents, (row) => ({ user_agent: row.text, ...presentSeen(row) })),
  routes: presentListed(found.routes, presentRoute),
  management: {
    requests: presentListed(found.management, presentRoute),
    events: { total: found.events.total, data: found.events.data.map(presentAction) },
  },
  hours: found.hours.map(({ at, requests, outcomes, addresses, userAgents }) => ({
    at,
    requests,
    outcomes,
    addresses,
    user_agents: userAgents,
  })),
  earlier: { hours: found.earlier.hours, requests: found.earlier.requests },
})

export const presentCallerCheck = ({ refused, more, accepted, unknown }: CallerCheck) => ({
  refused: refused.map(({ ip, requests, lastAt }) => ({ ip, requests, last_at: lastAt })),
  ...(more ? { more_refused: { callers: more.callers, requests: more.requests } } : {}),
  accepted,
  unknown,
})

const presentListed = <T, P>({ data, other, otherHours }: Listed<T>, present: (row: T) => P) => ({
  data: data.map(present),
  other,
  other_first_hour: otherHours?.first ?? null,
  other_last_hour: otherHours?.last ?? null,
})

const presentSeen = ({ requests, firstHour, lastHour }: SeenCaller | SeenRoute) => ({
  requests,
  first_hour: firstHour,
  last_hour: lastHour,
})

const presentRoute = (row: SeenRoute) => ({
  method: row.method,
  route: row.route,
  ...presentSeen(row),
  outcomes: row.outcomes,
})

const presentAction = (event: ActionDocument) => ({
  id: event.id,
  type: event.type,
  at: event.at,
  token_id: event.tokenId,
  revision: event.revision,
  request_id: event.requestId,
  ip: event.ip,
  user_agent: event.userAgent,
})
