export type { JwtOptions } from './adapters/jwt/verifier.ts'
export {
  RateLimitedError,
  StoreInUseError,
  StoreMisconfiguredError,
  StoreUnavailableError,
} from './application/ports/errors.ts'
export type { Logger } from './application/ports/telemetry.ts'
export type { ResolveAccount } from './application/authentication/authenticate.ts'
export type { User } from './application/authentication/user.ts'
export type { PageOptions, PageTheme } from './http/page/options.ts'
export type { RoutesOptions } from './http/prefix.ts'
export type { OnProblem, ProblemDocument } from './http/problem.ts'
export type { Principal } from './domain/principal.ts'
export { DamagedError } from './domain/errors.ts'
export {
  createTokenLedger,
  type TokenLedger,
  type TokenLedgerState,
  type Verified,
} from './ledger/ledger.ts'
export { TokenLedgerError } from './ledger/tokenLedgerError.ts'
export type {
  AccountUsage,
  CommandOptions,
  CreatedToken,
  NewToken,
  PageQuery,
  RevokeOptions,
  TokenChange,
  TokenListQuery,
  Tokens,
  TokenUsage,
  UsageQuery,
} from './ledger/tokens.ts'
export type { VerifyOptions } from './ledger/verify.ts'
export type { AccountEvent } from './presentation/feed.ts'
export type { PageTexts } from './page/texts.ts'
export type { Token, TokenEvent, TokenHistory } from './presentation/tokens.ts'
export type { TokenLedgerOptions } from './settings/options.ts'
export { SettingsError } from './settings/settings.ts'
