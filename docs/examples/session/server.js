import { randomBytes } from 'node:crypto'
import { createApp, openLedger } from './app.js'

const ledger = await openLedger({
  eventStoreUrl: 'sqlite:./data/events.db',
  readModelUrl: 'sqlite:./data/read-model.db',
})
// Without a key of your own everybody is logged out by a restart.
const app = createApp(ledger, process.env.SESSION_KEY ?? randomBytes(32).toString('hex'))

const server = app.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})

/** Requests under way are answered, then usage is stored. With nothing left open the process ends by itself. */
function stop() {
  server.close(() => ledger.close())
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
