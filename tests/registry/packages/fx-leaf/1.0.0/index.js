module.exports = 'leaf 1.0.0';
