import type { Clock } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { createTokenQueries, type TokenQueries } from '../tokens/query.ts'
import { type BlastRadiusQueries, createBlastRadiusQuery } from './blastRadius.ts'
import { type CallerCheckQueries, createCallerCheckQuery } from './callerCheck.ts'
import { createReportQuery, type ReportQueries } from './report.ts'
import { createUsageQuery, type UsageQueries } from './usage.ts'

/** All queries of the reading side. Every answer comes from the read model. */
export interface Queries
  extends TokenQueries,
    UsageQueries,
    ReportQueries,
    BlastRadiusQueries,
    CallerCheckQueries {}

export const createQueries = (readModel: DocumentReader, clock: Clock): Queries => ({
  ...createTokenQueries(readModel, clock),
  ...createUsageQuery(readModel, clock),
  ...createReportQuery(readModel, clock),
  ...createBlastRadiusQuery(readModel, clock),
  ...createCallerCheckQuery(readModel, clock),
})
