module.exports = 'optional peers';
