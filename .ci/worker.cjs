// Mocha ends its workers a second after it has told them to go, and what they covered may take longer to write.
if (process.env.MOCHA_WORKER_ID !== undefined) process.on('SIGTERM', () => {})
